mod clients;
mod config;
mod token;
mod users;
