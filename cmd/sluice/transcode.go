package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"sluice/codec"
)

// maxLineBytes bounds a line of transcode's input, as the gateway bounds bodies.
const maxLineBytes = 256 << 20

func newTranscodeCommand() *cobra.Command {
	var kindName, dir string
	cmd := &cobra.Command{
		Use:   "transcode --kind KIND --dir request|response|send|import|export",
		Short: "Translate JSON between the API and the bus, line by line",
		Long: `Read one JSON value per line from standard input and write for each one line:

  {"out":…}               the translation
  {"out":…,"final":true}  for --dir response: whether the exchange ends here
  {"error":"…"}           why it was refused

Directions: request and send translate an API body to a bus message, response
a bus message to an API body, import a client's frame to a bus message, export
a bus message to a frame. Lines may be up to 256 MiB long; a blank line is not
JSON and gets an error. The exit code is 0 whatever the lines were.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			translate, err := translator(kindName, dir)
			if err != nil {
				return err
			}
			return failure(transcode(cmd.InOrStdin(), cmd.OutOrStdout(), translate))
		},
	}
	cmd.Flags().StringVar(&kindName, "kind", "", "service or stream `kind`, e.g. text-completion (required)")
	cmd.Flags().StringVar(&dir, "dir", "", "`direction`: request, response, send, import or export (required)")
	return cmd
}

// translate appends the whole answer to one input line, without line end.
type translate func(dst, line []byte) []byte

// translator picks the function of codec for a kind and direction. Its errors
// are usage errors.
func translator(kindName, dir string) (translate, error) {
	kind, ok := codec.ParseKind(kindName)
	if !ok {
		return nil, fmt.Errorf("unknown --kind %q", kindName)
	}
	serves := kind.IsFlow() || kind.IsGlobal()
	switch {
	case dir == "request" && serves, dir == "send" && kind.IsSend():
		return oneWay(kind, codec.AppendRequest), nil
	case dir == "response" && serves:
		return twoWay(kind), nil
	case dir == "import" && kind.CanImport():
		return oneWay(kind, codec.AppendImport), nil
	case dir == "export" && kind.CanExport():
		return oneWay(kind, codec.AppendExport), nil
	}
	switch dir {
	case "request", "response", "send", "import", "export":
		return nil, fmt.Errorf("kind %s has no direction %s", kindName, dir)
	}
	return nil, fmt.Errorf("unknown --dir %q: must be request, response, send, import or export", dir)
}

func oneWay(kind codec.Kind, f func([]byte, codec.Kind, []byte) ([]byte, error)) translate {
	return func(dst, line []byte) []byte {
		start := len(dst)
		dst, err := f(append(dst, `{"out":`...), kind, line)
		if err != nil {
			return appendRefusal(dst[:start], err)
		}
		return append(onOneLine(dst, start), '}')
	}
}

func twoWay(kind codec.Kind) translate {
	return func(dst, line []byte) []byte {
		start := len(dst)
		dst, part, err := codec.AppendResponse(append(dst, `{"out":`...), kind, line)
		if err != nil {
			return appendRefusal(dst[:start], err)
		}
		return fmt.Appendf(onOneLine(dst, start), `,"final":%t}`, part.Final)
	}
}

func appendRefusal(dst []byte, err error) []byte {
	return append(codec.AppendQuoted(append(dst, `{"error":`...), err.Error()), '}')
}

// onOneLine makes one line of dst[start:] for whatever splits it. The codec
// copies values as they were spelled; a raw line end in them can only be white
// space, since it refuses control characters inside strings, and the separators
// that some languages take for line ends can only be inside strings.
func onOneLine(dst []byte, start int) []byte {
	for i, c := range dst[start:] {
		if c == '\n' || c == '\r' {
			dst[start+i] = ' '
		}
	}
	for separator, escaped := range map[string]string{"\u0085": `\u0085`, "\u2028": `\u2028`, "\u2029": `\u2029`} {
		if bytes.Contains(dst[start:], []byte(separator)) {
			dst = append(dst[:start], bytes.ReplaceAll(dst[start:], []byte(separator), []byte(escaped))...)
		}
	}
	return dst
}

// transcode answers each line of in on out. It flushes whenever it would wait
// for more input, so it can be used in a dialogue as well as in a pipe.
func transcode(in io.Reader, out io.Writer, answer translate) error {
	r, w := bufio.NewReaderSize(in, 64<<10), bufio.NewWriterSize(out, 64<<10)
	var line, reply []byte
	for {
		var err error
		line, err = readLine(r, line[:0], maxLineBytes)
		switch {
		case errors.Is(err, io.EOF):
			return w.Flush()
		case errors.Is(err, errLineTooLong):
			reply = appendRefusal(reply[:0], err)
		case err != nil:
			return errors.Join(err, w.Flush())
		default:
			reply = answer(reply[:0], line)
		}
		if _, err := w.Write(append(reply, '\n')); err != nil {
			return err
		}
		if r.Buffered() == 0 {
			if err := w.Flush(); err != nil {
				return err
			}
		}
	}
}

var errLineTooLong = fmt.Errorf("the line is longer than %d bytes", maxLineBytes)

// readLine appends the next line without its line end to dst. Of a line longer
// than limit it reads all, so that the next call starts at the next line. io.EOF
// comes alone: a last line without a line end is a line.
func readLine(r *bufio.Reader, dst []byte, limit int) ([]byte, error) {
	tooLong := false
	for {
		chunk, err := r.ReadSlice('\n')
		if len(dst)+len(chunk) > limit+1 {
			tooLong, dst = true, dst[:0]
		}
		if !tooLong {
			dst = append(dst, chunk...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil && (!errors.Is(err, io.EOF) || len(dst) == 0 && !tooLong) {
			return dst, err
		}
		if tooLong {
			return dst, errLineTooLong
		}
		if n := len(dst); n > 0 && dst[n-1] == '\n' {
			dst = dst[:n-1]
		}
		return dst, nil
	}
}
