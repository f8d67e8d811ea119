// Package linear is the proof that many callers at once see one domain table: whatever 64 clients ask of a few names at the same
// time, there is an order of what they asked, each thing at one instant between its call and its answer, in which a single
// caller would have got the same answers.
//
// The test runs a whole daemon on the fake driver, calls it through its socket, notes what was asked, when, and what was
// answered, and has the history checked by porcupine against a model. The model is a sequential machine: domain.Next, the table
// of docs/lifecycle.md, says what an action does to a condition; the model adds what the page leaves to its reader, namely who
// has which name and UUID, what is stored and what runs, and what guests do by themselves, which is seen some time later.
//
// It has no code of its own.
package linear
