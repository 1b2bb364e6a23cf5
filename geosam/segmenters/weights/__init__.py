"""Files of weights: their list, their folder, their download, and reading them without running code from them.

From the ground up: `file_kind` recognises a file by its first bytes, `manifest` lists the official checkpoints,
`containers` checks zip archives and safetensors files, `folder` finds and verifies checkpoints, `reading` reads
tensors, `tensor_file` is a file of which only the needed parts are read, `http` fetches one file, `download` fetches
checkpoints.
"""
