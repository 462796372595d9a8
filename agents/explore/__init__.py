"""The page in the browser: search a target by hand, compare, and see what the methods learn.

`target` and `session` hold what the page shows of a target and of its video, `pictures` draws it, `page` is the
Gradio page, and `serving` starts it. Only `page` and `serving` need Gradio.
"""
