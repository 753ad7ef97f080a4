// Package sluice holds no code: the module's rooms are its folders, and the
// tests here keep the repository's promises (package map, documents, vectors).
// Start with README.md and ARCHITECTURE.md.
package sluice
