package cli

import (
	"context"
	"time"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/domain"
)

// hintTime is how long the names of domains are waited for that only a hint is made of.
var hintTime = time.Second // a test's daemon has longer

// noDomain is the error of a domain that there is not, with the names that may have been meant.
func (a *app) noDomain(ctx context.Context, c *client.Client, text string) error {
	err := failed(nil, "failed to get domain '%s'", text)
	ctx, cancel := context.WithTimeout(ctx, hintTime)
	defer cancel()
	var known []string
	for d, listErr := range c.Domains(ctx, nil) {
		if listErr != nil {
			return err // one error is enough
		}
		if cell(d.GetName()) == d.GetName() {
			known = append(known, d.GetName())
		}
	}
	switch meant := nearest(text, known); {
	case len(meant) > 0:
		return hint(err, "", meant)
	case domain.ValidateName(text) != nil:
		return err
	case len(known) == 0:
		return &hinted{err, "there are no domains yet; 'define FILE' makes one"}
	}
	return &hinted{err, "'list --all' lists all domains"}
}
