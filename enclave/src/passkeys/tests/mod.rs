//! Behaviour of the ceremonies.

mod recorded;
