"""What an image encoder can learn from photos without captions. One file each.

Settings have `build(sizes)`, where `sizes.width` is the encoder's; what is built takes
`(Views, ImageFeatures)`, features of all views of a photo in a row, and returns `Losses`.
"""
