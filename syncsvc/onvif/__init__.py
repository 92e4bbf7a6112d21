"""ONVIF cameras on the network: who is there, and where their streams are."""
