-- ISA-18.2's seventh state: the device is being worked on, so what it says is no alarm.
ALTER TABLE alarm DROP CONSTRAINT alarm_state_check;
ALTER TABLE alarm ADD CONSTRAINT alarm_state_check
    CHECK (state IN ('unacknowledged', 'acknowledged', 'returned_unacknowledged',
                     'normal', 'shelved', 'suppressed', 'out_of_service'));
