"""The SAM family: SAM, MobileSAM, HQ-SAM, SAM 2 and 2.1 as image models; prompt encoder and mask decoder exist once."""
