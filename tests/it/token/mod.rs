mod attacks;
mod mint;
mod oracle;
mod refresh;
mod seal;
mod vectors;
mod verify;
