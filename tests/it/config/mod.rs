mod errors;
mod files;
mod origin;
mod reload;
