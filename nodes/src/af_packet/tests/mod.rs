//! Tests against a real kernel, in network namespaces of their own.
mod smoke;
