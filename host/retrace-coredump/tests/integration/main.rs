//! Cores of every architecture from a builder that shares no code with the reader, real cores, and hostile ones.

#[cfg(test)]
mod compressed;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod real;
#[cfg(test)]
mod sample;
#[cfg(test)]
mod synthetic;
#[cfg(test)]
mod tools;
