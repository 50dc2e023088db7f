"""A pristine tree, the porting ledger and kvmd, turned into a ported tree and a list of what was done."""
