"""The functional group macros of the standard, and which attributes each may speak about.

An attribute of the same name in a private sequence, in a reference to another image, or in a macro that it does not
belong to says nothing about the frame: Philips repeats positions and spacings of another kind in (2005,140F).
"""

from __future__ import annotations

from typing import Final

PLANE_POSITION: Final = "PlanePositionSequence"
PLANE_ORIENTATION: Final = "PlaneOrientationSequence"
PIXEL_MEASURES: Final = "PixelMeasuresSequence"
PIXEL_VALUE_TRANSFORMATION: Final = "PixelValueTransformationSequence"
FRAME_VOI_LUT: Final = "FrameVOILUTSequence"
UNASSIGNED: Final = ("UnassignedPerFrameConvertedAttributesSequence", "UnassignedSharedConvertedAttributesSequence")
"""What a legacy converted object keeps of its single images (PS3.3 C.7.6.16.2.25, C.7.6.16.2.26): anything but
what another macro says of the plane and its values."""

_FRAME_TYPE: Final = ("FrameType", "PixelPresentation", "VolumetricProperties", "VolumeBasedCalculationTechnique")

PLANE: Final = frozenset({PLANE_POSITION, PLANE_ORIENTATION, PIXEL_MEASURES, PIXEL_VALUE_TRANSFORMATION})
"""Macros of which nothing else may take the place: where a frame lies, and what its values mean."""

MACROS: Final[dict[str, tuple[str, ...]]] = {
    # PS3.3 C.7.6.16.2: of every kind of object
    PIXEL_MEASURES: ("PixelSpacing", "SliceThickness", "SpacingBetweenSlices"),
    PLANE_POSITION: ("ImagePositionPatient",),
    PLANE_ORIENTATION: ("ImageOrientationPatient",),
    PIXEL_VALUE_TRANSFORMATION: ("RescaleIntercept", "RescaleSlope", "RescaleType"),
    FRAME_VOI_LUT: ("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation", "VOILUTFunction"),
    "FrameContentSequence": (
        "FrameAcquisitionNumber", "FrameReferenceDateTime", "FrameAcquisitionDateTime", "FrameAcquisitionDuration",
        "CardiacCyclePosition", "RespiratoryCyclePosition", "DimensionIndexValues", "TemporalPositionIndex",
        "StackID", "InStackPositionNumber", "FrameComments", "FrameLabel",
    ),
    "FrameAnatomySequence": ("FrameLaterality", "AnatomicRegion", "AnatomicRegionValue"),
    "CardiacSynchronizationSequence": (
        "NominalPercentageOfCardiacPhase", "NominalCardiacTriggerDelayTime", "ActualCardiacTriggerDelayTime",
        "NominalCardiacTriggerTimePriorToRPeak", "ActualCardiacTriggerTimePriorToRPeak", "RRIntervalTimeNominal",
    ),
    "RespiratorySynchronizationSequence": (
        "NominalPercentageOfRespiratoryPhase", "NominalRespiratoryTriggerDelayTime",
        "ActualRespiratoryTriggerDelayTime", "StartingRespiratoryPhase", "EndingRespiratoryPhase",
    ),
    "ContrastBolusUsageSequence": (
        "ContrastBolusAgentNumber", "ContrastBolusAgentAdministered", "ContrastBolusAgentDetected",
        "ContrastBolusAgentPhase",
    ),
    "RadiopharmaceuticalUsageSequence": ("RadiopharmaceuticalAgentNumber",),
    "PatientPhysiologicalStateSequence": (),
    "IrradiationEventIdentificationSequence": ("IrradiationEventUID",),
    "TemporalPositionSequence": ("TemporalPositionTimeOffset",),
    "ImageDataTypeSequence": ("DataType", "AliasedDataType"),
    "PatientOrientationInFrameSequence": ("PatientOrientation",),
    "PlanePositionVolumeSequence": ("ImagePositionVolume",),
    "PlaneOrientationVolumeSequence": ("ImageOrientationVolume",),
    "PlanePositionSlideSequence": (
        "XOffsetInSlideCoordinateSystem", "YOffsetInSlideCoordinateSystem", "ZOffsetInSlideCoordinateSystem",
        "ColumnPositionInTotalImagePixelMatrix", "RowPositionInTotalImagePixelMatrix",
    ),
    "OpticalPathIdentificationSequence": ("OpticalPathIdentifier",),
    "SegmentIdentificationSequence": ("ReferencedSegmentNumber",),
    # C.8.13: Enhanced MR
    "MRImageFrameTypeSequence": (*_FRAME_TYPE, "ComplexImageComponent", "AcquisitionContrast"),
    "MRTimingAndRelatedParametersSequence": (
        "RepetitionTime", "FlipAngle", "EchoTrainLength", "RFEchoTrainLength", "GradientEchoTrainLength",
    ),
    "MREchoSequence": ("EffectiveEchoTime",),
    "MRModifierSequence": (
        "InversionRecovery", "InversionTimes", "FlowCompensation", "Spoiling", "T2Preparation",
        "SpectrallySelectedExcitation", "SpectrallySelectedSuppression", "SpatialPresaturation", "ParallelAcquisition",
        "PartialFourier",
    ),
    "MRImagingModifierSequence": (
        "MagnetizationTransfer", "BloodSignalNulling", "Tagging", "PixelBandwidth", "TransmitterFrequency",
    ),
    "MRDiffusionSequence": ("DiffusionBValue", "DiffusionDirectionality", "DiffusionGradientOrientation"),
    "MRVelocityEncodingSequence": (
        "VelocityEncodingDirection", "VelocityEncodingMinimumValue", "VelocityEncodingMaximumValue",
    ),
    "MRAveragesSequence": ("NumberOfAverages",),
    "MRFOVGeometrySequence": (
        "InPlanePhaseEncodingDirection", "MRAcquisitionFrequencyEncodingSteps", "PercentSampling",
        "PercentPhaseFieldOfView",
    ),
    "MRReceiveCoilSequence": ("ReceiveCoilName", "ReceiveCoilType"),
    "MRTransmitCoilSequence": ("TransmitCoilName", "TransmitCoilType"),
    "MRMetaboliteMapSequence": ("MetaboliteMapDescription",),
    "MRArterialSpinLabelingSequence": ("ASLContext", "ASLTechniqueDescription"),
    # C.8.15: Enhanced CT
    "CTImageFrameTypeSequence": _FRAME_TYPE,
    "CTAcquisitionTypeSequence": ("AcquisitionType", "TubeAngle", "ConstantVolumeFlag", "FluoroscopyFlag"),
    "CTAcquisitionDetailsSequence": (
        "RotationDirection", "RevolutionTime", "SingleCollimationWidth", "TotalCollimationWidth", "TableHeight",
        "GantryDetectorTilt", "DataCollectionDiameter",
    ),
    "CTTableDynamicsSequence": ("TableSpeed", "TableFeedPerRotation", "SpiralPitchFactor"),
    "CTPositionSequence": ("TablePosition", "DataCollectionCenterPatient", "ReconstructionTargetCenterPatient"),
    "CTGeometrySequence": ("DistanceSourceToDetector", "DistanceSourceToDataCollectionCenter"),
    "CTReconstructionSequence": (
        "ReconstructionAlgorithm", "ConvolutionKernel", "ConvolutionKernelGroup", "ReconstructionDiameter",
        "ReconstructionPixelSpacing", "ReconstructionAngle", "ImageFilter",
    ),
    "CTExposureSequence": (
        "ExposureTimeInms", "XRayTubeCurrentInmA", "ExposureInmAs", "ExposureModulationType", "CTDIvol",
    ),
    "CTXRayDetailsSequence": ("KVP", "FocalSpots", "FilterType", "FilterMaterial", "EnergyWeightingFactor"),
    "CTAdditionalXRaySourceSequence": (),
    "MultienergyCTProcessingSequence": ("DecompositionMethod", "DecompositionDescription"),
    "MultienergyCTCharacteristicsSequence": ("MonoenergeticEnergyEquivalent",),
    # C.8.22: Enhanced PET
    "PETFrameTypeSequence": _FRAME_TYPE,
    "PETFrameAcquisitionSequence": (),
    "PETDetectorMotionDetailsSequence": (),
    "PETPositionSequence": (),
    "PETTableDynamicsSequence": (),
    "PETFrameCorrectionFactorsSequence": ("PrimaryPromptsCountsAccumulated", "DecayFactor", "ScatterFractionFactor"),
    "PETReconstructionSequence": ("ReconstructionType", "IterativeReconstructionMethod"),
    # others: X-ray, ultrasound, ophthalmic, intravascular, parametric maps
    "XRay3DFrameTypeSequence": _FRAME_TYPE,
    "XAXRFFrameCharacteristicsSequence": ("DerivationDescription", "AcquisitionDeviceProcessingDescription"),
    "FramePixelDataPropertiesSequence": (
        "FrameType", "PixelIntensityRelationship", "ImagerPixelSpacing", "GeometricalProperties",
    ),
    "FrameDetectorParametersSequence": ("DetectorActiveTime",),
    "FrameAcquisitionSequence": (),
    "FieldOfViewSequence": ("FieldOfViewShape", "FieldOfViewDimensionsInFloat"),
    "ProjectionPixelCalibrationSequence": ("DistanceObjectToTableTop", "ObjectPixelSpacingInCenterOfBeam"),
    "PositionerPositionSequence": (
        "PositionerPrimaryAngle", "PositionerSecondaryAngle", "CArmPositionerTabletopRelationship",
    ),
    "TablePositionSequence": (),
    "CollimatorShapeSequence": (),
    "ObjectThicknessSequence": ("CalculatedAnatomyThickness",),
    "IsocenterReferenceSystemSequence": (),
    "USImageDescriptionSequence": _FRAME_TYPE,
    "PhotoacousticImageFrameTypeSequence": _FRAME_TYPE,
    "OphthalmicFrameLocationSequence": ("ReferenceCoordinates", "OphthalmicImageOrientation"),
    "IntravascularOCTFrameTypeSequence": ("FrameType",),
    "IntravascularFrameContentSequence": ("IntravascularLongitudinalDistance",),
    "WholeSlideMicroscopyImageFrameTypeSequence": ("FrameType",),
    "ParametricMapFrameTypeSequence": ("FrameType",),
    "RealWorldValueMappingSequence": (
        "RealWorldValueIntercept", "RealWorldValueSlope", "LUTLabel", "MeasurementUnits", "MeasurementUnitsValue",
    ),
    # C.7.6.16.2.25, .26: legacy converted objects
    **dict.fromkeys(UNASSIGNED, ()),
}  # fmt: skip
"""Macros that describe a frame, by the keyword of their sequence. Referenced Image and Derivation Image are none:
they describe other images."""

OWNERS: Final[dict[str, frozenset[str]]] = {
    attribute: frozenset(macro for macro, attributes in MACROS.items() if attribute in attributes)
    for attributes_ in MACROS.values()
    for attribute in attributes_
}
"""Which macros an attribute belongs to."""

PLANE_ATTRIBUTES: Final = frozenset(attribute for macro in PLANE for attribute in MACROS[macro])
"""Where a frame lies, how large its pixels are, and what its values mean."""
