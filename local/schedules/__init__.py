"""Schedules that fire: EventBridge Scheduler and rules with a schedule."""
