package iam

import (
	"context"

	"sluice/codec"
)

// Handle carries out a request as it comes from the bus and returns the reply as
// it goes there.
func (s *Service) Handle(ctx context.Context, body []byte) ([]byte, error) {
	r, err := codec.ParseIAMRequest(body)
	if err != nil {
		return nil, err
	}
	return codec.MarshalIAMReply(s.answer(ctx, findOperation(r.Operation), &r))
}

// CheapHashes makes passwords of tests cheap.
func (s *Service) CheapHashes() { s.hash.rounds = testRounds }
