"""Objects: from masks of windows to whole objects of the scene.

From the ground up: `scene_object` is a finished object; `observer` follows a run or a session; `embeddings/` makes and
keeps embeddings of windows; `windows` places windows around prompts; `steps` decodes a prompt step by step; `growth`
follows a prompted object from window to window; `everything` finds all masks of a tile; `seams` compares two
overlapping tiles; `stitcher` joins their masks; `shaping` makes polygons and columns; `session` answers one draft after
the other; `click_session` is the session of the Python door.
"""
