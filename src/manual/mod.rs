//! Long texts: how mintgate's formats and flows work, beside the code that follows them.

pub mod formats;
