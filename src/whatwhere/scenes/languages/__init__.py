"""One file per language that captions of scenes are told in; its name is `World.language`.

Each has NOUNS (for every name of the world), INTROS, PLACES, ASIDES, RELATIONS, AND, IS and
`some`, `the`, `predicate`. A phrase comes in two pieces: what governs it, and the noun phrase,
because prepositions and articles melt together ("im Wasser", "à gauche du chat").
"""
