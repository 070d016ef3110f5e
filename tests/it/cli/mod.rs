mod clients;
mod config;
mod users;
