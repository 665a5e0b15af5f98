"""Follow faces through the frames of a video, and tell who is whom."""
