mod directory;
mod hash;
mod slowdown;
