"""What apps describe their part of the OpenAPI document with; the document itself is put together by the project.

`schemas` builds values, `operations` builds paths, `lists` the parameters of lists, and `components` holds what every
app refers to. An app hands over one `Chapter`, which `merged` joins to the others.
"""
