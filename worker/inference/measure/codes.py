"""Names of measurements (PS3.16 CID 7469 and 7470) and of derivations (CID 7464)."""

from __future__ import annotations

from worker.domain.codes import Code

VOLUME = Code("118565006", "SCT", "Volume")
AREA = Code("42798000", "SCT", "Area")
DIAMETER = Code("81827009", "SCT", "Diameter")
LONG_AXIS = Code("103339001", "SCT", "Long axis")
SHORT_AXIS = Code("103340004", "SCT", "Short axis")
DIAMETER_3D = Code("L0JK", "IBSI", "Maximum 3D Diameter of a Mesh")
SURFACE_AREA = Code("C0JK", "IBSI", "Surface Area of Mesh")
ATTENUATION = Code("112031", "DCM", "Attenuation Coefficient")
MR_SIGNAL = Code("110852", "DCM", "MR signal intensity")

OF_REGION: dict[str, Code] = {
    "diameter": DIAMETER,
    "diameter_3d": DIAMETER_3D,
    "long_axis": LONG_AXIS,
    "short_axis": SHORT_AXIS,
    "area": AREA,
    "volume": VOLUME,
}

DERIVATIONS: dict[str, Code] = {
    "mean": Code("373098007", "SCT", "Mean"),
    "standard_deviation": Code("386136009", "SCT", "Standard Deviation"),
    "median": Code("373099004", "SCT", "Median"),
    "minimum": Code("255605001", "SCT", "Minimum"),
    "maximum": Code("56851009", "SCT", "Maximum"),
    "skewness": Code("126051", "DCM", "Skewness"),
    "kurtosis": Code("126052", "DCM", "Kurtosis"),
}
