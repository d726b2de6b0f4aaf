"""The load test: many organisations at work at once, and one that takes all it can get.

world       the organisations, made through the public doors, with tokens and paired phones
asking      a process that sends requests at a pace and looks at every answer
talking     a process with phones that ask through the relay
living      people who sign up, and owners who suspend, lift, delete and restore
orders      how processes are told what to do, and when to stop
measuring   the samples of all of them, and what is said about them
"""
