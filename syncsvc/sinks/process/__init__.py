"""A function of the user's for every frame or set of a service, and its results for whoever subscribes to them."""
