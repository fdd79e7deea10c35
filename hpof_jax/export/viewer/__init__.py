"""A page to look at: one HTML file with the bodies, their curves and, if wanted, the video. No network is used.

`source/` has the page's own files. `build` puts them and three.js into `assets/viewer.html`; `page` adds a motion.
"""

from hpof_jax.export.viewer.page import MAX_BYTES, contents, iframe, write
from hpof_jax.export.viewer.video import check as check_video

__all__ = ["MAX_BYTES", "check_video", "contents", "iframe", "write"]
