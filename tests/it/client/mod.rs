mod authenticate;
mod file;
