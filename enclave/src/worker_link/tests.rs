//! Lies a worker could tell, each refused for its own reason.
