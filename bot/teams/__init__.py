"""Microsoft Teams behind the ports. The only importer of botbuilder."""
