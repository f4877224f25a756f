//! Against real repositories, servers that lie, and hostile metadata.
