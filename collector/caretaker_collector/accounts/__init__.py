"""Who may sign in to the desk: accounts, passwords, sessions, and waits for those who guess.

book.py       accounts in the state file
sessions.py   sessions in the state file
passwords.py  argon2id, and which passwords are too easy
waits.py      growing waits after wrong passwords, in memory
signon.py     the port `SignOn`: a password, a trusted header; an OIDC provider would be one more
port.py       `DeskAccounts`, what the desk's pages get
"""
