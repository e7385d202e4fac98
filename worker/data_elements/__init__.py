"""What every reader of received bytes knows: how elements follow one another (PS3.5 Section 7), and what is refused."""
