//! Datagrams in and out.
