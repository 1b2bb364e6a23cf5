"""geosam_lite: the small promptable network whose weights come with the package."""
