"""The DICOM upper layer (PS3.8): A-ASSOCIATE-RQ and the transport connection."""
