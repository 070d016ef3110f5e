mod directory;
mod hash;
mod slowdown;
mod stored;
