"""DIMSE messages (PS3.7): C-ECHO, C-STORE and N-EVENT-REPORT, from fragments to answers."""
