"""Fit a promptable network to batches.

From the ground up: `losses` (of masks, expected IoU and dense maps), `simulated_user` (prompts and corrections),
`loop` (training steps and the state on disk), `command` (options and run of the training programs).
"""
