"""Results looked at in a real viewer: OHIF in a real browser, on a real PACS, judged by its pixels."""
