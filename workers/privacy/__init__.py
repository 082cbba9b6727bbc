"""What is known of people: under which name it is kept, for how long, held for whom, and how it is removed."""
