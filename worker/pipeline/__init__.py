"""The use-cases: what happens to a study, in the words of the domain. Knows no library and no other room."""
