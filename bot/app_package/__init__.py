"""The Teams app package: a zip with the manifest, the texts of further languages, and two icons.

Start with `manifest.py`. `archive.py` makes the zip, `versions.py` chooses the version of an update, `rules.py` judges
a package, and `command.py` is `node-access-bot manifest`. The icons are drawn from the SVG files beside them. This
package must not know settings, rows, or how to call Teams.
"""
