package main

import (
	"os"
	"os/signal"
	"syscall"
)

// endBySignals makes signals end the process wherever it waits, without a word and
// with the terminal as it was. What it was started to ignore (nohup, a shell's
// background) it goes on ignoring.
func (a *app) endBySignals() {
	var heeded []os.Signal
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT} {
		if !signal.Ignored(s) {
			heeded = append(heeded, s)
		}
	}
	if len(heeded) == 0 {
		return // no signals would mean all to Notify
	}
	arrived := make(chan os.Signal, 1)
	signal.Notify(arrived, heeded...)
	go func() {
		s, _ := (<-arrived).(syscall.Signal)
		if restore := a.restore.Load(); restore != nil {
			(*restore)()
		}
		endBy(s)
	}()
}

// endBy ends the process by a signal: after one that only exits, a shell's loop goes
// on. Two exit as a shell would see them: Go answers SIGQUIT with a dump, which may
// show a password, and process 1 of a container cannot kill itself.
func endBy(s syscall.Signal) {
	if s != syscall.SIGQUIT && os.Getpid() != 1 {
		signal.Reset(s)
		if syscall.Kill(os.Getpid(), s) == nil {
			select {}
		}
	}
	os.Exit(128 + int(s))
}
