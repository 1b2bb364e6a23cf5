"""Click to segment: the map tool, the panel, the drafts, and the layer that objects go to.

The order of the modules, from the ground up:

- `answer`: the object that the worker found for a draft
- `feature_reference`, `acceptance`: features of a layer, added and changed
- `output_layer`, `recent_objects`: the layer of the objects, and the list of the latest
- `drafted_object`: one object from the first click to the layer
- `draft_session`, `hover_preview`: requests for the draft, and for the place under the cursor
- `canvas_bands`, `map_tool`: drawings on the canvas, clicks and keys
- `dock`, `workbench`: the panel, and all parts joined
"""
