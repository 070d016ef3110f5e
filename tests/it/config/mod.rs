mod error;
mod files;
mod origin;
mod reload;
