"""Drawing on images: windows, outlines, shapes, colour maps, text. Pixels in, pixels out; nothing is read or sent."""
