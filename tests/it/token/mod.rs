mod attacks;
mod differential;
mod mint;
mod oracle;
mod refresh;
mod seal;
mod vectors;
mod verify;
