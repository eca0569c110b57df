"""EmojiWorld, the built-in benchmark: colour emoji composed into detection scenes."""
