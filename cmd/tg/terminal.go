package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// terminal is where somebody can be asked without being overlooked.
type terminal struct {
	file  *os.File
	lines *bufio.Reader
	out   io.Writer
}

func newTerminal(file *os.File, out io.Writer) *terminal {
	return &terminal{file, bufio.NewReader(file), out}
}

// openTerminal opens the controlling terminal, which may be there although all
// streams are redirected.
func openTerminal() (*terminal, error) {
	if tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0); err == nil {
		return newTerminal(tty, tty), nil
	}
	if term.IsTerminal(int(os.Stdin.Fd())) {
		return newTerminal(os.Stdin, os.Stderr), nil
	}
	return nil, errors.New("no terminal")
}

// state returns what makes the terminal again what it is now.
func (t *terminal) state() (restore func(), err error) {
	fd := int(t.file.Fd())
	now, err := term.GetState(fd)
	return func() { _ = term.Restore(fd, now) }, err // nothing more can be done for it
}

// hide turns the echo off. That is done before the prompt, unlike in
// term.ReadPassword: an answer may come as soon as the prompt is seen.
func (t *terminal) hide() error {
	fd := int(t.file.Fd())
	mode, err := unix.IoctlGetTermios(fd, getTermios)
	if err != nil {
		return err
	}
	mode.Lflag &^= unix.ECHO
	return unix.IoctlSetTermios(fd, setTermios, mode)
}

// askHidden asks on the terminal; the end of input there is no answer.
func (t *terminal) askHidden(prompt string) (string, error) {
	fmt.Fprint(t.out, prompt)
	answer, err := t.lines.ReadString('\n')
	fmt.Fprintln(t.out)
	if errors.Is(err, io.EOF) {
		err = errNoAnswer
	}
	return withoutNewline(answer), err
}
