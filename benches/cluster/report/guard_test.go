package main

import "testing"

func TestACountThatGrewByMoreThanHalfIsNoticed(t *testing.T) {
	kept := map[string]float64{"requests": 2, "writes": 0}
	for _, ok := range []map[string]float64{{"requests": 3, "writes": 0}, {"requests": 1, "writes": 0}} {
		if err := compare(kept, ok); err != nil {
			t.Errorf("%v: %v", ok, err)
		}
	}
	for _, bad := range []map[string]float64{{"requests": 3.1, "writes": 0}, {"requests": 2, "writes": 0.1}, {"other": 1}} {
		if compare(kept, bad) == nil {
			t.Errorf("%v passes", bad)
		}
	}
}
