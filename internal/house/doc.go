// Package house holds the rules of the house as tests: who may import whom and why, that every
// package says what it is, that tests do not sleep. It has no code of its own.
package house
